// Owns docs/errors.md: every error code with its meaning and what to do.
import type { ErrorCode, ErrorEntry } from '@infermesh/proto';
import { EXIT_CONFIG, EXIT_DENIED, EXIT_FAILED, EXIT_OK, EXIT_UNREACHABLE, EXIT_USAGE } from '../cli/errors.js';
import { errorSections } from '../errors.js';
import { code, header, markdownTable } from './markdown.js';

const introduction = `Every error has a stable code \`IM_AREA_NAME\`, a message, a hint and, where it is known, a place. HTTP answers carry the code in the
header \`x-infermesh-error\`; the data plane's bodies have the OpenAI form \`{"error":{"message","type","param","code"}}\`, the admin API's
\`{"error":{"code","message","hint",…}}\`. "Again" says whether the same call may succeed later.

Exit codes of the command line: ${EXIT_OK} done, ${EXIT_FAILED} a check or threshold failed or the mesh refused, ${EXIT_USAGE} usage, ${EXIT_CONFIG} configuration, ${EXIT_UNREACHABLE} unreachable,
${EXIT_DENIED} denied.`;

export function errorsPage(): string {
	const sections = errorSections.map(({ title, errors }) => {
		const entries = (Object.entries(errors) as [ErrorCode, ErrorEntry][]).sort(([a], [b]) => (a < b ? -1 : 1));
		const rows = entries.map(([name, entry]) => [
			code(name),
			entry.summary,
			entry.hint,
			String(entry.httpStatus),
			entry.grpcStatus,
			entry.retryable ? 'yes' : 'no',
			code(entry.openaiCode ?? ''),
		]);
		return `\n## ${title}\n\n${markdownTable(['code', 'what happened', 'what to do', 'HTTP', 'gRPC', 'again', 'OpenAI code'], rows)}`;
	});
	return header('Errors', 'the `errors.ts` of each room', introduction) + sections.join('');
}
