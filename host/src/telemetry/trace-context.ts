// Owns W3C Trace Context: reading and writing `traceparent`. Pure. https://www.w3.org/TR/trace-context/

export interface TraceParent {
	/** 32 lower-case hex digits, not all zero. */
	readonly traceId: string;
	/** 16 lower-case hex digits, not all zero. */
	readonly spanId: string;
	/** Bit 0: the caller may have recorded the trace. */
	readonly flags: number;
}

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** Undefined for anything the specification says to ignore: a bad form, zero ids, version ff, a version 00 with more fields. */
export function parseTraceParent(header: string | undefined): TraceParent | undefined {
	if (header === undefined || header.length > 512) return undefined;
	const match = FORM.exec(header.trim());
	if (match === null) return undefined;
	const [, version = '', traceId = '', spanId = '', flags = '', more] = match;
	if (version === 'ff' || (version === '00' && more !== undefined)) return undefined;
	if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
	return { traceId, spanId, flags: Number.parseInt(flags, 16) };
}

export function formatTraceParent(context: TraceParent): string {
	return `00-${context.traceId}-${context.spanId}-${(context.flags & 0xff).toString(16).padStart(2, '0')}`;
}
