"""The client of a TF Serving model server, over REST (standard library) or gRPC (the extra `serving`)."""
