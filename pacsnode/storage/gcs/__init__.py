"""Objects in a bucket of Google Cloud Storage. Nothing outside this package imports `google`."""
