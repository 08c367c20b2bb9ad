// Owns plugins/README.md: the table of the strategies that ship, from their manifests and READMEs.
import { shippedLibrary } from '../project/library.js';
import { code, header, markdownTable } from './markdown.js';

const introduction = `Strategies written with the [AssemblyScript SDK](../sdk/README.md): the mesh's own, the classics, and policies of other systems re-created from their descriptions, so
that they can be compared on one trace and in one mesh. Each folder is a strategy project of its own, with its formula, the source of its constants and where it is weak in its README, and
decisions worked out by hand in \`test/\`; the re-created ones are checked on thousands of random frames against a second implementation in plain TypeScript (\`test/strategies/\`). Targets that cost
the same are drawn by the request's seed, or take turns in round robin; a low number is no advantage.

\`npm run build\` makes \`plugins/<name>/build/<name>.wasm\`, rebuilt only when its sources, the SDK or the compiler change. \`infermesh strategies NAME\` explains one,
\`infermesh up --strategy NAME\` or \`infermesh strategy load NAME --activate\` lets it decide; \`hybrid_mesh\` is the default.

"Needs" says without which signals a strategy decides blindly: _prefixes_ is the host's index of cached prompts, _engine reports_ come from the runtimes' metrics, _own traffic_ is what the mesh counts
and times itself, _network_ is measured between nodes.`;

export function libraryPage(): string {
	const rows = shippedLibrary().map(({ name, version, origin, needs, description }) => [
		`[${name}](${name}/README.md)`,
		code(version),
		origin,
		needs.join(', '),
		description,
	]);
	const table = markdownTable(['strategy', 'version', 'source', 'needs', 'decides by'], rows);
	return `${header('Shipped strategies', 'manifests and READMEs', introduction)}\n${table}`;
}
