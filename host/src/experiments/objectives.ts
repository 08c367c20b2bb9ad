// Owns the schema of what requests of an experiment are to meet: the same in the staging that routers follow and in the experiment's own record.
import { Type } from '../schema/type.js';

export const objectivesSchema = Type.Object({
	ttftMs: Type.Number({ exclusiveMinimum: 0, description: 'First token, from the request’s arrival.' }),
	tpotMs: Type.Number({ exclusiveMinimum: 0, description: 'Each further token, on average.' }),
	ttftPerTokenMs: Type.Number({ minimum: 0, description: 'Added to `ttftMs` for each token of the prompt.' }),
});
