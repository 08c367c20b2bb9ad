// Owns what is read out of a call's first message: the model's name, the prompt's texts or token ids, and the parameters that say how long the output may be and
// which sequence the call belongs to. It hears of fields from the scanner.
import type { FieldReader } from './field-scanner.js';
import type { Meaning } from './first-fields.js';
import { TensorIds } from './tensor-ids.js';
import { TensorTexts, type TextsOptions } from './tensor-texts.js';

const TOKENS_OUT = 'max_tokens';
const SEQUENCE = 'sequence_id';

export class FirstReader implements FieldReader<Meaning> {
	/** Undefined where the message has no such field. */
	model: string | undefined;
	/** Most tokens the caller wants; 0 = it does not say. */
	tokensOutMax = 0;
	/** Sequence of a stateful model; `''` = none. */
	sequence = '';
	readonly texts: TensorTexts;
	readonly ids: TensorIds;
	#parameter = '';
	#value: string | bigint = '';

	constructor(options: TextsOptions) {
		this.texts = new TensorTexts(options);
		this.ids = new TensorIds(options);
	}

	began(means: Meaning): void {
		if (means === 'tensor') {
			this.texts.tensor();
			this.ids.tensor();
		} else if (means === 'element') this.texts.element();
		else if (means === 'ids') this.ids.packed();
		else if (means === 'raw') {
			this.texts.raw();
			this.ids.raw();
		} else if (means === 'parameter') {
			this.#parameter = '';
			this.#value = '';
		}
	}

	ended(means: Meaning): void {
		if (means === 'raw') {
			this.texts.rawEnded();
			this.ids.rawEnded();
		} else if (means === 'parameter') this.#take(this.#parameter, this.#value);
	}

	text(means: Meaning, text: string): void {
		if (means === 'model') this.model = text;
		else if (means === 'tensor_name') {
			this.texts.name(text);
			this.ids.name(text);
		} else if (means === 'datatype') {
			this.texts.datatype(text);
			this.ids.datatype(text);
		} else if (means === 'sequence') this.sequence = text;
		else if (means === 'parameter_name') this.#parameter = text;
		else if (means === 'parameter_value') this.#value = text;
	}

	number(means: Meaning, value: bigint): void {
		if (means === 'parameter_value') this.#value = value;
	}

	bytes(means: Meaning, bytes: Buffer): void {
		if (means === 'element') this.texts.elementBytes(bytes);
		else if (means === 'ids') this.ids.packedBytes(bytes);
		else if (means === 'shape') this.ids.dimensionBytes(bytes);
		else if (means === 'raw') {
			this.texts.rawBytes(bytes);
			this.ids.rawBytes(bytes);
		}
	}

	#take(name: string, value: string | bigint): void {
		if (name === TOKENS_OUT)
			this.tokensOutMax = typeof value === 'bigint' && value >= 1n && value <= 0xffff_ffffn ? Number(value) : 0;
		// As Triton has it, sequence 0 is none.
		else if (name === SEQUENCE) this.sequence = value === 0n ? '' : String(value);
	}
}
