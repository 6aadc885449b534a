"""Ways to other machines that a source and an engine share: clients, credentials, retries, errors told in our words."""
