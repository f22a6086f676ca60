"""What an application can watch: structured events, and OpenTelemetry's traces and metrics."""
