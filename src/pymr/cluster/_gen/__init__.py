"""Code that `make proto` makes of `proto/control.proto`. Only `cluster.wire` imports it."""
