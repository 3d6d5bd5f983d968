-- finds: public fuzzystrmatch
CREATE EXTENSION fuzzystrmatch SCHEMA public;

-- finds nothing
CREATE EXTENSION unaccent;
