-- finds: () cube
CREATE EXTENSION cube VERSION '1.4';

-- finds nothing
CREATE EXTENSION hstore;
