#!/bin/sh
# Cargo calls this with rustc and its arguments. Panics then name a file as `pyo3-0.30.1/src/err.rs`,
# and not by the folder in which the builder's cargo keeps the crate (RFC 3127; once cargo's own
# `trim-paths` is stable, that is enough). Our own files are named by how they lie in rust/ anyhow.
if [ -n "$CARGO_MANIFEST_DIR" ] && [ -z "$CARGO_PRIMARY_PACKAGE" ]; then
    set -- "$@" "--remap-path-prefix=$CARGO_MANIFEST_DIR=$CARGO_PKG_NAME-$CARGO_PKG_VERSION"
fi
exec "$@"
