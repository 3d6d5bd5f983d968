-- finds: sites(website_url)
CREATE TABLE sites (website_url text);
INSERT INTO sites VALUES ('https://a.example'), ('javascript:x'), (NULL);

-- finds nothing
CREATE TABLE sites (website_url text CHECK (website_url ~ '^https?://'), url_count int);
