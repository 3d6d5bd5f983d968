-- What is found out about the staged cells before they are typed; names in braces are filled in by judging.py.

-- name: odd_addresses
-- Addresses that are not of the ordinary kind, which only email-validator judges.
SELECT DISTINCT {cell} AS given, outreach.bare_address({cell}) AS bare
FROM {raw} AS r
WHERE r.problem IS NULL AND NOT outreach.ordinary_email({cell})

-- name: create_addresses
CREATE TABLE {addresses} (cell text, email text, problem text)

-- name: copy_addresses
COPY {addresses} (cell, email, problem) FROM STDIN

-- name: first_cells
SELECT {cells} FROM {raw} AS r WHERE r.problem IS NULL LIMIT {rows}

-- name: test_columns
SELECT {tests} FROM {raw} AS r WHERE r.problem IS NULL
