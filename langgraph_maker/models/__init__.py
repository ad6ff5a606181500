"""How a sample is obtained: models, samplers, retries, concurrency, prices."""
