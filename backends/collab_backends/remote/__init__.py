"""The backend `openai`: a model behind any server that speaks the OpenAI protocol."""
