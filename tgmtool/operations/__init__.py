"""One verb, one file: the only place where bytes and meaning meet. Nothing here prints."""
