// Owns what may be chosen of the development mesh's emulated engines, apart from the engines: the command line names the defaults without loading them.

export interface DevelopmentEngineOptions {
	readonly count: number;
	/** Model names: engine i serves `models[i mod length]`. */
	readonly model: string;
	readonly profile: string;
	readonly speed: number;
	/** First port; 0 takes free ones. */
	readonly port: number;
}

export const developmentEngineDefaults: DevelopmentEngineOptions = {
	count: 3,
	model: 'llama-3-8b',
	profile: 'h100-8b',
	speed: 1,
	port: 8100,
};
