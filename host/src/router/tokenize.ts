// Owns the wait for exact token ids, between reading a request and deciding it: only where the model has a tokeniser and an engine says what
// it holds by tokens, and never beyond the bound. Leaves the asking to the port.
import { type RouterEnv, stageEnded } from './env.js';
import { Exchange } from './exchange.js';
import type { RoutedRequest } from './routed-request.js';

/** Paths whose prompts tokenisers and templates are made for. */
const ENDPOINTS: ReadonlyMap<string, 'chat' | 'completion'> = new Map([
	['/v1/chat/completions', 'chat'],
	['/v1/completions', 'completion'],
]);

/** Calls `go` at once, or later in a turn of its own when there are ids to wait for. Not at all when the client has gone meanwhile. */
export function tokenize(env: RouterEnv, request: RoutedRequest, go: () => void): void {
	const { prefixes, tokens } = env.ports;
	const { path, route } = request;
	const endpoint = ENDPOINTS.get(path);
	if (!(request instanceof Exchange) || endpoint === undefined || request.cacheSalt !== '') return go();
	if (route === undefined || request.tokenIds !== undefined || !prefixes.wantsTokens(route.pool)) return go();
	const waits = tokens.ask(route.pool, endpoint, request.body, (ids) => {
		stageEnded(env, request, 'tokenize');
		if (request.finished) return;
		request.tokenIds = ids;
		go();
	});
	if (!waits) go();
}
