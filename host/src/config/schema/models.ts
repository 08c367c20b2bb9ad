// Owns the section of the configuration about names of models.

import { Type } from '../../schema/type.js';
import { choice, item, map, maybe, number, optional, required, section } from '../fields.js';

export const modelsSchema = section('Names of models and where they lead.', {
	tokenizers: map(
		item('How prompts of a model become token ids.', {
			kind: choice(
				['file', 'engine'],
				'file',
				'Local files of Hugging Face’s form, or the engine’s own `POST /tokenize`.',
			),
			path: optional(
				'Of `file`: a folder with `tokenizer.json` and, for chats, `tokenizer_config.json` or `chat_template.jinja`.',
			),
		}),
		'Model → its tokeniser. Without one prefixes are matched by their text.',
		256,
	),
	aliases: map(Type.String({ minLength: 1 }), 'Public name → model.', 1024),
	fallbacks: map(
		Type.Array(Type.String({ minLength: 1 }), { maxItems: 8 }),
		'Model → models tried in order when it has no eligible target.',
		1024,
	),
	revisions: map(
		Type.Array(
			item('A share of the traffic of a name.', {
				model: required('Model that gets the share.'),
				weight: number(1, 'Weight among its siblings.', { max: 1_000_000 }),
			}),
			{ minItems: 1, maxItems: 16 },
		),
		'Public name → weighted models.',
		1024,
	),
	hedging: map(
		item('What differs from `data.hedge` for one model.', {
			copies: maybe('As `data.hedge.copies`.', 4),
			copies_max: maybe('As `data.hedge.copies_max`.', 4),
			delay_ms: maybe('As `data.hedge.delay_ms`.', 3_600_000, 'ms'),
			delay_quantile: maybe('As `data.hedge.delay_quantile`.', 1),
			budget_ratio: maybe('As `data.hedge.budget_ratio`.', 1),
		}),
		'Model → its own hedging.',
		1024,
	),
});
