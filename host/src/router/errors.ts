// Owns the errors a client of the data plane can meet: a request that is refused, a route that cannot be found, an upstream that
// fails. How one becomes bytes is error-body.ts's.
import { defineErrors } from '@infermesh/proto';

const badRequest = { httpStatus: 400, grpcStatus: 'INVALID_ARGUMENT', retryable: false } as const;
const busy = { httpStatus: 429, grpcStatus: 'RESOURCE_EXHAUSTED', retryable: true } as const;
const full = { httpStatus: 503, grpcStatus: 'UNAVAILABLE', retryable: true } as const;
const badGateway = { httpStatus: 502, grpcStatus: 'UNAVAILABLE', retryable: true } as const;
const tooSlow = { httpStatus: 504, grpcStatus: 'DEADLINE_EXCEEDED', retryable: true } as const;

export const routerErrors = defineErrors({
	IM_REQUEST_MALFORMED: {
		...badRequest,
		summary: 'The request is not valid HTTP/1.1.',
		hint: 'Send one framing only (content-length or chunked), CRLF line ends and a valid path.',
	},
	IM_REQUEST_HEADERS: {
		...badRequest,
		httpStatus: 431,
		summary: 'The request headers are too large or too many.',
		hint: 'Send fewer or shorter headers; the bounds are data.header_max_bytes and data.header_count_max.',
	},
	IM_REQUEST_TIMEOUT: {
		httpStatus: 408,
		grpcStatus: 'DEADLINE_EXCEEDED',
		retryable: true,
		summary: 'The request did not arrive in time.',
		hint: 'Send headers and body without long pauses; the bounds are data.headers_timeout_ms and data.request_timeout_ms.',
	},
	IM_REQUEST_BODY_SIZE: {
		...badRequest,
		httpStatus: 413,
		summary: 'The request body is too large.',
		hint: 'Shorten the prompt or split the batch; the bound is data.body_max_bytes.',
	},
	IM_REQUEST_ENCODING: {
		...badRequest,
		httpStatus: 415,
		summary: 'The request body is compressed in a way that is not read here.',
		hint: 'Send the body without content-encoding; gRPC messages may be compressed by gzip or deflate.',
	},
	IM_REQUEST_GRPC: {
		...badRequest,
		summary: 'The gRPC message cannot be read.',
		hint: 'Send whole messages, each in one frame; the first one names the model.',
	},
	IM_REQUEST_GRPC_METHOD: {
		...badRequest,
		httpStatus: 404,
		grpcStatus: 'UNIMPLEMENTED',
		summary: 'This gRPC method is not passed on.',
		hint: 'Methods that change a server are kept back; `data.grpc.deny` may name more. docs/protocols.md lists those that pass.',
	},
	IM_REQUEST_EXPECT: {
		...badRequest,
		httpStatus: 417,
		summary: 'The request expects something other than 100-continue.',
		hint: 'Leave the expect header out.',
	},
	IM_REQUEST_JSON: {
		...badRequest,
		summary: 'The request body is not valid JSON.',
		hint: 'Send one JSON object in UTF-8.',
	},
	IM_REQUEST_FORM: {
		...badRequest,
		summary: 'The form in the request body cannot be read.',
		hint: 'Send multipart/form-data with one field `model`.',
	},
	IM_REQUEST_FIELD: {
		...badRequest,
		summary: 'A field of the request is missing or of the wrong type.',
		hint: 'See `param` for the field.',
	},
	IM_REQUEST_HANDOVER: {
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
		summary: 'The request says where an engine is to fetch KV from, or which rank is to serve it.',
		hint: 'Leave the field in `param` out, or use an API key that is marked as trusted.',
	},
	IM_REQUEST_UNAUTHENTICATED: {
		httpStatus: 401,
		grpcStatus: 'UNAUTHENTICATED',
		retryable: false,
		summary: 'The API key is missing or not known.',
		hint: 'Send `authorization: Bearer KEY` with a key of this mesh.',
		openaiCode: 'invalid_api_key',
	},
	IM_REQUEST_PATH: {
		...badRequest,
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		summary: 'There is nothing at this path.',
		hint: 'docs/protocols.md lists the paths of the data plane; a path that names no model needs x-infermesh-model where several are served.',
		openaiCode: 'unknown_url',
	},
	IM_REQUEST_METHOD: {
		...badRequest,
		httpStatus: 405,
		grpcStatus: 'UNIMPLEMENTED',
		summary: 'The path does not take this method.',
		hint: 'See the allow header.',
	},
	IM_WEBSOCKET_HANDSHAKE: {
		...badRequest,
		summary: 'The WebSocket handshake is not valid.',
		hint: 'Send version 13, a key of 16 bytes in base64 and distinct subprotocols.',
	},
	IM_WEBSOCKET_ORIGIN: {
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
		summary: 'Pages of this origin may not connect.',
		hint: 'The operator lists origins in data.websocket.origins.',
	},
	IM_WEBSOCKET_CONNECTIONS: {
		...busy,
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		summary: 'There are as many WebSockets as may be.',
		hint: 'Try again after the time in retry-after; the bound is data.websocket.connections_max.',
	},
	IM_WEBSOCKET_CLOSING: {
		...busy,
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		summary: 'The router is closing.',
		hint: 'Connect again: another router or worker takes it.',
	},
	IM_WEBSOCKET_REQUESTS: {
		...busy,
		summary: 'As many chats as may be are under way on this socket.',
		hint: 'Wait for one to end, or open another socket; the bound is data.websocket.requests_max.',
	},
	IM_WEBSOCKET_MESSAGE: {
		...badRequest,
		summary: 'The message is none of the chat protocol.',
		hint: 'docs/protocols.md describes the messages.',
	},
	IM_ROUTE_MODEL_UNKNOWN: {
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
		summary: 'No model of this name is served here.',
		hint: 'GET /v1/models lists the names.',
		openaiCode: 'model_not_found',
	},
	IM_ROUTE_RESPONSE_UNKNOWN: {
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
		summary: 'There is no response of this id for this tenant.',
		hint: 'Stored responses go with the target that made them, and only the tenant that asked for one can reach it.',
	},
	IM_ROUTE_RESPONSE_KEY: {
		...full,
		summary: 'The router does not know yet what vouches for the owners of stored responses.',
		hint: 'It comes from the mesh’s state; without coordinators routers share one by data.response_key.',
	},
	IM_ROUTE_RESPONSE_KEY_FILE: {
		httpStatus: 500,
		grpcStatus: 'FAILED_PRECONDITION',
		retryable: false,
		summary: 'The key that vouches for the owners of stored responses, which this node keeps on disk, cannot be used.',
		hint: 'Make `node/response-key` in `state_dir` this user’s and readable by nobody else (chmod 600). Or remove it for a new one: responses stored before are then out of reach.',
	},
	IM_ROUTE_NO_TARGET: {
		httpStatus: 503,
		grpcStatus: 'UNAVAILABLE',
		retryable: true,
		summary: 'No target of this model can take requests now.',
		hint: '`infermesh target list` shows why: unhealthy, draining, ejected or quarantined.',
	},
	IM_ROUTE_TARGET_UNKNOWN: {
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
		summary: 'The target asked for does not serve this model.',
		hint: 'x-infermesh-force-target must be the id of a target of the model.',
	},
	IM_ROUTE_SATURATED: {
		...busy,
		summary: 'There is no room for this request now.',
		hint: 'Try again after the time in retry-after.',
		openaiCode: 'rate_limit_exceeded',
	},
	IM_ROUTE_HELD: {
		...busy,
		summary: 'The request was held for room that did not come.',
		hint: 'Try again after the time in retry-after.',
		openaiCode: 'rate_limit_exceeded',
	},
	IM_ROUTE_QUOTA: {
		...busy,
		summary: 'The quota of this caller is used up.',
		hint: 'Try again after the time in retry-after, or ask for a larger quota.',
		openaiCode: 'insufficient_quota',
	},
	IM_QUOTA_REQUESTS: {
		...busy,
		summary: 'The tenant has used up its requests for now.',
		hint: 'Try again after the time in retry-after; `infermesh quota show TENANT` has the limits.',
		openaiCode: 'rate_limit_exceeded',
	},
	IM_QUOTA_TOKENS: {
		...busy,
		summary: 'The tenant has used up its tokens for now.',
		hint: 'Try again after the time in retry-after; `infermesh quota show TENANT` has the limits.',
		openaiCode: 'rate_limit_exceeded',
	},
	IM_QUOTA_CONCURRENCY: {
		...busy,
		summary: 'The tenant has as many requests open as it may.',
		hint: 'Let some end first; `infermesh quota show TENANT` has the limit.',
		openaiCode: 'rate_limit_exceeded',
	},
	IM_QUOTA_TOO_LARGE: {
		...busy,
		retryable: false,
		summary: 'The prompt alone is more than the tenant’s quota ever holds.',
		hint: 'Shorten the prompt, or ask for a larger quota: trying again does not help.',
		openaiCode: 'rate_limit_exceeded',
	},
	IM_FLOW_QUEUE_FULL: {
		...full,
		summary: 'No target has room, and as many requests wait as may.',
		hint: 'Try again after the time in retry-after; the bounds are data.flow.requests_max and data.flow.bytes_max.',
	},
	IM_FLOW_TENANT_QUEUE_FULL: {
		...full,
		httpStatus: 429,
		summary: 'No target has room, and as many requests of this tenant wait as may.',
		hint: 'Try again after the time in retry-after; the bound is data.flow.tenant_share.',
		openaiCode: 'rate_limit_exceeded',
	},
	IM_FLOW_DEADLINE: {
		...full,
		summary: 'No target has room, and by how fast requests are served the deadline would pass first.',
		hint: 'Send a later deadline, or try again after the time in retry-after.',
	},
	IM_FLOW_WAIT: {
		...full,
		summary: 'No target had room within the time that requests may wait.',
		hint: 'Try again after the time in retry-after; the bound is data.flow.wait_max_ms.',
	},
	IM_ROUTE_POLICY: {
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
		summary: 'A policy of the mesh does not allow this request.',
		hint: 'Ask the operator which policy applies to this caller.',
	},
	IM_ROUTE_DEADLINE: {
		...tooSlow,
		summary: 'The deadline of the request passed, or cannot be met.',
		hint: 'Send a later deadline, or try when the mesh is less busy.',
	},
	IM_ROUTE_INTERNAL: {
		httpStatus: 500,
		grpcStatus: 'INTERNAL',
		retryable: true,
		summary: 'The router failed at this request.',
		hint: 'This is a bug of the mesh; the log has the cause under the request id.',
	},
	IM_SCORING_DENIED: {
		httpStatus: 403,
		grpcStatus: 'PERMISSION_DENIED',
		retryable: false,
		summary: 'Scores are for trusted callers.',
		hint: 'Use an API key that is marked as trusted.',
	},
	IM_SCORING_DECISION_UNKNOWN: {
		httpStatus: 404,
		grpcStatus: 'NOT_FOUND',
		retryable: false,
		summary: 'No admission with this decision id is open here.',
		hint: 'Report on the connection that admitted: admissions lie with its worker, and end by themselves after their lease or data.scoring.admission_ttl_ms.',
	},
	IM_UPSTREAM_CONNECT: {
		...badGateway,
		summary: 'The target cannot be reached.',
		hint: 'Check that its engine runs; the mesh has tried every target it may.',
	},
	IM_UPSTREAM_DIED: {
		...badGateway,
		summary: 'The target ended the response before it was complete.',
		hint: 'Try again; if tokens had been sent, the answer is cut.',
	},
	IM_UPSTREAM_PROTOCOL: {
		...badGateway,
		summary: 'The target did not answer with valid HTTP.',
		hint: 'Check the runtime at this target.',
	},
	IM_UPSTREAM_FIRST_BYTE_TIMEOUT: {
		...tooSlow,
		summary: 'The target did not begin to answer in time.',
		hint: 'The bound is data.upstream.first_byte_timeout_ms.',
	},
	IM_UPSTREAM_IDLE_TIMEOUT: {
		...tooSlow,
		summary: 'The target fell silent inside a response.',
		hint: 'The bound is data.upstream.idle_timeout_ms.',
	},
	IM_UPSTREAM_ERROR: {
		...badGateway,
		summary: 'The target failed at this request.',
		hint: 'The engine log of the target in x-infermesh-target says why.',
	},
	IM_UPSTREAM_SATURATED: {
		...busy,
		summary: 'The target has no room for this request.',
		hint: 'Try again after the time in retry-after.',
		openaiCode: 'rate_limit_exceeded',
	},
});

export type RouterErrorCode = keyof typeof routerErrors;

/** Why a request is not served: a value, made by a stage and turned into a response in one place. */
export interface Refusal {
	readonly code: RouterErrorCode;
	/** Overrides the catalogue's summary; holds no prompt text, URL or secret. */
	readonly message?: string;
	/** Field of the request that is at fault. */
	readonly param?: string;
	readonly retryAfterS?: number;
	/** Status in place of the catalogue's, where an upstream's own is passed on. */
	readonly status?: number;
	/** Value of the `allow` header of a 405. */
	readonly allow?: string;
}
