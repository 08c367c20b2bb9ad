// Owns the list of functions a strategy may export and how the host calls them. Every parameter and result is an i32.
export interface HookDef {
	readonly name: string;
	readonly kind: 'inference' | 'training' | 'both';
	/** Names of the parameters; `frame` is the byte address of the frame. */
	readonly parameters: readonly string[];
	readonly required: boolean;
	readonly meaning: string;
}

/** In the order the reference page shows them. Each returns a `Status`. */
export const hooks: readonly HookDef[] = [
	{
		name: 'init',
		kind: 'both',
		parameters: ['frame'],
		required: false,
		meaning:
			'called once when an instance is made, after the header, the column table and the configuration are written and before any other hook; may resolve offsets, must not read rows',
	},
	{
		name: 'rank',
		kind: 'inference',
		parameters: ['frame'],
		required: true,
		meaning:
			'chooses targets for the request in the frame; runs in every worker and keeps nothing between calls: same frame, same answer',
	},
	{
		name: 'plan',
		kind: 'training',
		parameters: ['frame'],
		required: true,
		meaning: 'lays out the job in the PlanRequest block',
	},
	{
		name: 'admit',
		kind: 'inference',
		parameters: ['frame'],
		required: false,
		meaning:
			'called before rank; may answer reject or hold in the Output block, with count 0; route passes the request on',
	},
	{
		name: 'observe',
		kind: 'both',
		parameters: ['frame', 'count'],
		required: false,
		meaning:
			'called in the one writer instance of a mesh process with `count` entries in the Outcome array; may write the state block',
	},
	{
		name: 'tick',
		kind: 'both',
		parameters: ['frame'],
		required: false,
		meaning: 'called in the writer instance about once a second, with fresh rows; may write the state block',
	},
];
