// Owns structured logs: one JSON object a line on the given stream, through pino. Prompts, bodies and credentials are never logged:
// callers pass ids and figures, and what looks like a credential is masked all the same.
import { type DestinationStream, type Logger, pino } from 'pino';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

export type LogFields = Readonly<Record<string, unknown>>;

/** A logger as the rooms use it; fits `RequestLog` of the router. */
export interface Log {
	debug(fields: LogFields, message: string): void;
	info(fields: LogFields, message: string): void;
	warn(fields: LogFields, message: string): void;
	error(fields: LogFields, message: string): void;
	/** A logger that adds `fields` (for example `requestId`, `decisionId`, `worker`) to each line. */
	child(fields: LogFields): Log;
	level(): LogLevel;
	/** Also changes loggers made by `child`. */
	setLevel(level: LogLevel): void;
}

export interface LogOptions {
	readonly level: LogLevel;
	/** Where lines go; standard error by default, so that standard output stays free for data. */
	readonly destination?: DestinationStream;
	/** Added to each line. */
	readonly base?: LogFields;
	/** Milliseconds since the Unix epoch. */
	readonly wallMs: () => number;
}

const credentialFields = ['authorization', 'cookie', 'apiKey', 'api_key', 'token', 'password', 'secret'];
const contentFields = ['prompt', 'messages', 'input', 'body', 'content'];
const redacted = [...credentialFields, ...contentFields].flatMap((name) => [name, `*.${name}`, `headers.${name}`]);

const levelOrder: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error', 'silent'];

/** Shared by a logger and all its children, so that one call changes the level of all. */
interface LevelCell {
	level: LogLevel;
}

function wrap(logger: Logger, cell: LevelCell): Log {
	const at = (level: 'debug' | 'info' | 'warn' | 'error') => {
		const rank = levelOrder.indexOf(level);
		return (fields: LogFields, message: string): void => {
			if (rank >= levelOrder.indexOf(cell.level)) logger[level](fields, message);
		};
	};
	return {
		debug: at('debug'),
		info: at('info'),
		warn: at('warn'),
		error: at('error'),
		child: (fields) => wrap(logger.child(fields), cell),
		level: () => cell.level,
		setLevel(level) {
			cell.level = level;
		},
	};
}

export function createLog(options: LogOptions): Log {
	const logger = pino(
		{
			level: 'trace',
			base: options.base === undefined ? null : { ...options.base },
			timestamp: () => `,"time":"${new Date(options.wallMs()).toISOString()}"`,
			formatters: { level: (label) => ({ level: label }) },
			messageKey: 'message',
			redact: { paths: [...new Set(redacted)], censor: '[redacted]' },
		},
		options.destination ?? pino.destination({ dest: 2, sync: true }),
	);
	return wrap(logger, { level: options.level });
}
