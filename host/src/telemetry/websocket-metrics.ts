// Owns the counters of WebSockets over a metrics block.
import type { WebSocketMetrics } from '../router/ports.js';
import { webSocketCloseReasons, webSocketKinds } from '../router/ports.js';
import type { MetricsBlock } from './block.js';

export function createWebSocketMetrics(block: MetricsBlock): WebSocketMetrics {
	const open = new Map(webSocketKinds.map((kind) => [kind, block.gauge('webSockets', kind)]));
	const closed = new Map(
		webSocketKinds.flatMap((kind) =>
			webSocketCloseReasons.map((reason) => [`${kind} ${reason}`, block.counter('webSocketsClosed', kind, reason)]),
		),
	);
	return {
		opened: (kind) => open.get(kind)?.add(1),
		closed(kind, reason) {
			open.get(kind)?.add(-1);
			closed.get(`${kind} ${reason}`)?.add(1);
		},
		// Rare, and of few codes: the block bounds the series.
		refused: (errorCode) => block.counter('webSocketsRefused', errorCode).add(1),
	};
}
