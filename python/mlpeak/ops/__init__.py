"""The operations, each defined once on arrays; `mlpeak.ops.registry` says what one is."""
