// Owns the routes of the admin API about recording decisions on this node.
import type { Static } from 'typebox';
import { hashModes } from '../recorder/entries.js';
import { Type } from '../schema/type.js';
import { type AdminRoute, route } from './route.js';

export const recorderViewSchema = Type.Object({
	recording: Type.Boolean(),
	name: Type.Union([Type.String(), Type.Null()], { description: 'Of the recording under way, else of the last one.' }),
	dir: Type.String({ description: 'Where its files are, on the node.' }),
	since: Type.Union([Type.String(), Type.Null()]),
	seconds: Type.Number(),
	sample: Type.Number({ description: 'Share of decisions recorded, 0..1.' }),
	hashes: Type.Enum([...hashModes]),
	decisions: Type.Integer(),
	outcomes: Type.Integer(),
	dropped: Type.Integer({ description: 'Decisions that found no room in their ring.' }),
	outcomesLost: Type.Integer({ description: 'Outcomes that found no room in their ring.' }),
	bytes: Type.Integer({ description: 'Written, files that have been taken away since included.' }),
	files: Type.Integer(),
	file: Type.String({ description: 'The one being written.' }),
	chain: Type.String({
		description: 'Rolling hash at the end of what is on disk; compare it with what replay prints.',
	}),
	error: Type.Union([Type.String(), Type.Null()], { description: 'Why the last recording ended by itself.' }),
});
export type RecorderView = Static<typeof recorderViewSchema>;

export const recordingRequestSchema = Type.Object(
	{
		sample: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1 })),
		hashes: Type.Optional(Type.Enum([...hashModes])),
	},
	{ additionalProperties: false },
);

export const recorderRoutes: readonly AdminRoute[] = [
	route('GET', '/api/v1/recorder', 'Whether this node records its decisions, and how much it has.', {
		response: recorderViewSchema,
		run: (control) => control.recorder.view(),
	}),
	route('POST', '/api/v1/recorder/start', 'Record the decisions of this node into its recorder.dir.', {
		body: recordingRequestSchema,
		response: recorderViewSchema,
		run: (control, { body }) => control.recorder.start(body),
		audit: (_call, { name }: RecorderView) => ({ action: 'recorder.start', object: name ?? '' }),
	}),
	route('POST', '/api/v1/recorder/stop', 'End the recording.', {
		response: recorderViewSchema,
		run: (control) => control.recorder.stop(),
		audit: (_call, { name }: RecorderView) => ({ action: 'recorder.stop', object: name ?? '' }),
	}),
];
