#!/bin/sh
# Cargo calls this with rustc and its arguments. Panics then name a file as `pyo3-0.30.1/src/err.rs`,
# and not by the folder in which the builder's cargo keeps the crate (RFC 3127; once cargo's own
# `trim-paths` is stable, that is enough).
exec "$@" ${CARGO_MANIFEST_DIR:+"--remap-path-prefix=$CARGO_MANIFEST_DIR=$CARGO_PKG_NAME-$CARGO_PKG_VERSION"}
