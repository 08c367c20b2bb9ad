// Owns the shape of every error the mesh names: the catalogue entry and the class that carries one.
// Each package declares its own entries with `defineErrors`; docs/errors.md is generated from their union.

/** One catalogued error. `httpStatus` and `grpcStatus` are what a caller sees; `retryable` says whether the same call may succeed later. */
export interface ErrorEntry {
	/** What happened, in one sentence, without values. */
	readonly summary: string;
	/** What the reader can do about it. */
	readonly hint: string;
	readonly httpStatus: number;
	/** Canonical gRPC status name, for example `RESOURCE_EXHAUSTED`. */
	readonly grpcStatus: GrpcStatus;
	readonly retryable: boolean;
	/** The OpenAI `error.code` that says the same thing, where one exists. */
	readonly openaiCode?: string;
}

export type GrpcStatus =
	| 'OK'
	| 'CANCELLED'
	| 'UNKNOWN'
	| 'INVALID_ARGUMENT'
	| 'DEADLINE_EXCEEDED'
	| 'NOT_FOUND'
	| 'ALREADY_EXISTS'
	| 'PERMISSION_DENIED'
	| 'RESOURCE_EXHAUSTED'
	| 'FAILED_PRECONDITION'
	| 'ABORTED'
	| 'OUT_OF_RANGE'
	| 'UNIMPLEMENTED'
	| 'INTERNAL'
	| 'UNAVAILABLE'
	| 'DATA_LOSS'
	| 'UNAUTHENTICATED';

/** A stable error code, `IM_AREA_NAME`. */
export type ErrorCode = `IM_${string}`;

export type ErrorCatalogue = Readonly<Record<ErrorCode, ErrorEntry>>;

/** Declares a package's error entries: keeps literal codes for the type checker and freezes the table. */
export function defineErrors<const T extends ErrorCatalogue>(entries: T): T {
	for (const code of Object.keys(entries)) {
		if (!/^IM_[A-Z0-9]+(_[A-Z0-9]+)+$/.test(code))
			throw new TypeError(`error code ${code} is not of the form IM_AREA_NAME`);
	}
	return Object.freeze(entries);
}

export interface MeshErrorOptions {
	/** Overrides the catalogue's hint where the place knows better. */
	readonly hint?: string;
	readonly cause?: unknown;
	/** Where: a file with line and column, a field path, a target id. */
	readonly where?: string;
	/** Machine-readable details; must hold no prompt text and no secret. */
	readonly details?: Readonly<Record<string, unknown>>;
}

/** An error with a stable code. Thrown at edges; on the data path results are values. */
export class MeshError extends Error {
	readonly code: ErrorCode;
	readonly entry: ErrorEntry;
	readonly hint: string;
	readonly where: string | undefined;
	readonly details: Readonly<Record<string, unknown>> | undefined;

	constructor(catalogue: ErrorCatalogue, code: ErrorCode, message?: string, options: MeshErrorOptions = {}) {
		const entry = catalogue[code];
		if (entry === undefined) throw new TypeError(`error code ${code} is not in the catalogue it was raised from`);
		super(message ?? entry.summary, options.cause === undefined ? undefined : { cause: options.cause });
		this.name = 'MeshError';
		this.code = code;
		this.entry = entry;
		this.hint = options.hint ?? entry.hint;
		this.where = options.where;
		this.details = options.details;
	}

	/** `IM_CODE: message (where)` and the hint on a second line: what a terminal shows. */
	format(): string {
		const where = this.where === undefined ? '' : `${this.where}: `;
		return `${this.code}: ${where}${this.message}\n  hint: ${this.hint}`;
	}

	toJSON(): Record<string, unknown> {
		return {
			code: this.code,
			message: this.message,
			hint: this.hint,
			retryable: this.entry.retryable,
			...(this.where === undefined ? {} : { where: this.where }),
			...(this.details === undefined ? {} : { details: this.details }),
		};
	}
}
