-- finds: a_name_that_goes_on_and_on_until_it_reaches_the_limit_of_names_() a_name_that_goes_on_and_on_until_it_reaches_the_limit_of_names_
CREATE TABLE a_name_that_goes_on_and_on_until_it_reaches_the_limit_of_names_ (id int, note int);

-- finds nothing
CREATE TABLE short (id int);
