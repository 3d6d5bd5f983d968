"""The ground floor: connections, tenant sessions, named statements, migrations, the embedded server."""
