"""Names of OpenTelemetry's conventions for generative AI, and our own beside them.

The conventions are still in development; these are those of semantic-conventions-genai as of
late 2026 (constants of `opentelemetry-semantic-conventions` 0.66b2). All names stand here alone.
"""

# --- operations -------------------------------------------------------------------------------

CHAT = "chat"
TEXT_COMPLETION = "text_completion"
INVOKE_WORKFLOW = "invoke_workflow"

# --- attributes of the conventions --------------------------------------------------------------

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
WORKFLOW_NAME = "gen_ai.workflow.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ_INPUT_TOKENS = "gen_ai.usage.cache_read.input_tokens"
USAGE_REASONING_OUTPUT_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_TYPE = "gen_ai.token.type"
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

# --- attributes of our own ----------------------------------------------------------------------

ROLE = "collab.role"
PURPOSE = "collab.purpose"
CALL_INDEX = "collab.call.index"
CALL_OUTCOME = "collab.call.outcome"
CALL_ATTEMPTS = "collab.call.attempts"
CALL_COST_USD = "collab.call.cost_usd"
CALL_IS_ESTIMATED = "collab.call.is_estimated"
PROBLEM_ID = "collab.problem.id"
PROBLEM_REASON = "collab.problem.reason"
MENTOR_SHARE = "collab.mentor_share"

# --- metrics ------------------------------------------------------------------------------------

CLIENT_TOKEN_USAGE = "gen_ai.client.token.usage"
CLIENT_OPERATION_DURATION = "gen_ai.client.operation.duration"
TOKEN_BOUNDARIES = tuple(float(4**power) for power in range(14))
DURATION_BOUNDARIES = tuple(0.01 * 2**power for power in range(14))
