# Each target makes its own .venv first; nothing is installed outside it.
.PHONY: demo test check docs bootstrap clean

demo: bootstrap  ## the whole path on generated leads, from import to analytics
	.venv/bin/outreachdb demo

test: bootstrap  ## the test suite on a real PostgreSQL 18
	scripts/test

check: bootstrap  ## format, lint, types, order of rooms, generated docs
	scripts/check

docs: bootstrap  ## regenerate the reference pages and build the site
	scripts/docs

bootstrap:
	@scripts/bootstrap

clean:
	rm -rf .venv site dist
