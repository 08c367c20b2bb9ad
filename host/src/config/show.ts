// Owns `config show`: a loaded configuration as flat rows with origins. Prints nothing that load.ts marked as secret.
import type { LoadedConfig } from './load.js';
import type { OriginKind } from './origins.js';
import { displayPath, type Path } from './pointer.js';
import { isTree } from './tree.js';

export interface ConfigRow {
	readonly key: string;
	readonly value: unknown;
	readonly origin: string;
	readonly kind: OriginKind;
}

/** One row per leaf; empty lists and maps are leaves. */
export function configRows(loaded: LoadedConfig): ConfigRow[] {
	const rows: ConfigRow[] = [];
	const visit = (value: unknown, path: Path): void => {
		const entries: [string, unknown][] = Array.isArray(value)
			? value.map((inner, index) => [String(index), inner])
			: isTree(value)
				? Object.entries(value)
				: [];
		if (entries.length > 0) {
			for (const [key, inner] of entries) visit(inner, [...path, key]);
			return;
		}
		const origin = loaded.origins.of(path);
		rows.push({ key: displayPath(path), value, origin: origin.label, kind: origin.kind });
	};
	visit(loaded.shown, []);
	return rows;
}
