// Owns what is known of a request whose body is read for where it should go: the part of an HTTP request that says what is wanted, however it has come here.
import type { PathName } from './accept.js';
import type { Span } from './json-bytes.js';
import { RoutedRequest } from './routed-request.js';

export const EMPTY = Buffer.alloc(0);

export abstract class BodyRequest extends RoutedRequest {
	/** The model's name in the path. */
	pathModel: PathName | undefined;
	/** The id of a stored response in the path. */
	pathId: PathName | undefined;

	// receive
	body: Buffer = EMPTY;

	// parse
	/** The body is JSON and was read. */
	parsed = false;
	/** Bytes of JSON before the raw tensors of a body that has some, which is read and never rewritten; 0 = it has none, or is not looked into. */
	jsonBytes = 0;
	/** The model's name is the member `model` of the body. */
	modelInBody = false;
	/** Where the model's name stands in a form. */
	formModel: Span | undefined;
	/** What its engine is to keep its cache apart by; '' = nothing. */
	cacheSalt = '';
	/** Id of the stored response that the request goes on from. */
	previousId = '';
	/** That response, or the one in the path, as its target knows it. */
	storedId = '';
	/** The router asked for `usage` on the client's behalf, and strips it again. */
	usageInjected = false;
	/** The body's own `stream_options`, where it has some. */
	streamOptions: unknown;
}
