// Owns finding out what the functions of a module are called: the name section first, exports where it is silent.
// The name section only serves messages, so one that is broken is read as far as it goes.
import { ByteReader, ModuleFault } from './byte-reader.js';
import { SectionId, type WasmModuleData } from './wasm-reader.js';

const FUNCTION_NAMES = 1;
/** Longest function name kept, in characters: names come from outside and end up in messages. */
const NAME_CHARS_MAX = 200;

/** Names by function index; indices without a name are absent. */
export function functionNames(module: WasmModuleData): Map<number, string> {
	const names = new Map<number, string>();
	for (const entry of module.exports) if (entry.kind === 0) names.set(entry.index, clip(entry.name));
	const section = module.sections.find((each) => each.id === SectionId.custom && each.name === 'name');
	if (section !== undefined) readNames(new ByteReader(module.bytes, section.body, section.end), module, names);
	return names;
}

function readNames(reader: ByteReader, module: WasmModuleData, names: Map<number, string>): void {
	try {
		while (!reader.done) {
			const id = reader.u8();
			const part = reader.slice(reader.u32(), 'name subsection');
			if (id !== FUNCTION_NAMES) continue;
			const count = part.count('names', module.functionTypes.length);
			for (let i = 0; i < count; i++) {
				const index = part.u32();
				const name = part.name();
				if (index < module.functionTypes.length && name !== '') names.set(index, clip(name));
			}
		}
	} catch (error) {
		if (!(error instanceof ModuleFault)) throw error;
	}
}

function clip(name: string): string {
	return name.length <= NAME_CHARS_MAX ? name : `${name.slice(0, NAME_CHARS_MAX)}…`;
}
