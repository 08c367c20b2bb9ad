// Owns paths into a configuration: JSON pointers inside (names may hold dots), `models.aliases["gpt-4.1"]` for people.

export type Path = readonly string[];

export function toPointer(path: Path): string {
	return path.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

export function fromPointer(pointer: string): string[] {
	if (pointer === '') return [];
	return pointer
		.slice(1)
		.split('/')
		.map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** `/targets/0/url` → `targets[0].url`. */
export function displayPath(path: Path): string {
	let shown = '';
	for (const part of path) {
		if (/^\d+$/.test(part)) shown += `[${part}]`;
		else if (/^[A-Za-z_][\w-]*$/.test(part)) shown += shown === '' ? part : `.${part}`;
		else shown += `[${JSON.stringify(part)}]`;
	}
	return shown;
}
