"""The formats in which rows come and answers go, as HTTP calls them."""

JSON, LINES, CSV, ARROW = "application/json", "application/x-ndjson", "text/csv", "application/vnd.apache.arrow.stream"
