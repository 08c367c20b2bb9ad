// Owns the simplest state machine: it remembers the commands it was given, once each, and answers with their place.
import { createHash } from 'node:crypto';
import type { StateMachine, StateRestore } from '../../../store/ports.js';

export class LogMachine implements StateMachine {
	commands: string[] = [];
	appliedIndex = 0;

	get appliedHash(): string {
		return createHash('sha256').update(this.commands.join('\n')).digest('hex');
	}

	apply(command: Uint8Array, index: number): Uint8Array {
		if (index <= this.appliedIndex) throw new Error(`applied ${index} after ${this.appliedIndex}`);
		this.appliedIndex = index;
		const text = Buffer.from(command).toString();
		// A command that was proposed twice counts once, as in the real store.
		if (!this.commands.includes(text)) this.commands.push(text);
		return Buffer.from(String(this.commands.indexOf(text)));
	}

	*snapshot(): Iterable<Uint8Array> {
		const commands = [...this.commands];
		yield Buffer.from(`${this.appliedIndex}\n`);
		for (const command of commands) yield Buffer.from(`${command}\n`);
	}

	beginRestore(): StateRestore {
		const pieces: Uint8Array[] = [];
		return {
			push: (bytes) => void pieces.push(Uint8Array.from(bytes)),
			finish: () => {
				const [applied, ...commands] = Buffer.concat(pieces).toString().trimEnd().split('\n');
				this.appliedIndex = Number(applied);
				this.commands = commands;
			},
		};
	}
}
