// Owns letting go of HTTP/2 streams that are over. Node keeps a session's streams in a Map; each time that grows, the table it leaves behind goes on holding the
// streams of that moment and points to the next table, so that once one of them is in V8's old generation all that follow are taken along there, dead. Half of
// what survived collections under load was calls and attempts that such streams still had listeners of.
import type { Http2Stream } from 'node:http2';

const ignored = (): void => undefined;

/** For a listener of a stream's `close`: whoever else listens to that is still told, and nobody of anything after it. */
export function letGo(stream: Http2Stream): void {
	stream.removeAllListeners();
	// One that is told late must not end the worker.
	stream.on('error', ignored);
}
