-- finds: people(lead_score)
CREATE TABLE people (lead_score real);
INSERT INTO people VALUES (5), (101), (-1);

-- finds nothing
CREATE TABLE people (lead_score real CHECK (lead_score BETWEEN 0 AND 100), score_name text);
