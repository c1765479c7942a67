"""The specification's rows whose services are not built yet, one module a section. They move out as they are built."""
