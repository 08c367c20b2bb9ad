// Owns the record of where each configuration value came from. A place without an entry of its own came with its nearest ancestor.
import { type Path, toPointer } from './pointer.js';

export type OriginKind = 'flag' | 'env' | 'file' | 'default';

export interface Origin {
	readonly kind: OriginKind;
	/** `--port`, `INFERMESH_DATA__PORT`, `infermesh.yaml:3:5` or `default`. */
	readonly label: string;
}

export const defaultOrigin: Origin = { kind: 'default', label: 'default' };

export class Origins {
	readonly #entries = new Map<string, Origin>();

	/** `path` and all below it now come from `origin`. */
	replace(path: Path, origin: Origin): void {
		const pointer = toPointer(path);
		for (const known of this.#entries.keys()) if (known.startsWith(`${pointer}/`)) this.#entries.delete(known);
		this.#entries.set(pointer, origin);
	}

	/** Only `path` itself; what is below keeps its own entries. */
	set(path: Path, origin: Origin): void {
		this.#entries.set(toPointer(path), origin);
	}

	of(path: Path): Origin {
		for (let depth = path.length; depth > 0; depth--) {
			const found = this.#entries.get(toPointer(path.slice(0, depth)));
			if (found !== undefined) return found;
		}
		return defaultOrigin;
	}
}
