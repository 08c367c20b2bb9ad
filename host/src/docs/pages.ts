// Owns the list of generated reference pages.
import { cliPage } from './cli-page.js';
import { configPage } from './config-page.js';
import { errorsPage } from './errors-page.js';
import { metricsPage } from './metrics-page.js';
import { scenarioPage } from './scenario-page.js';

/** File name in docs/ → its text. */
export async function referencePages(): Promise<ReadonlyMap<string, string>> {
	return new Map([
		['cli.md', await cliPage()],
		['config.md', configPage()],
		['errors.md', errorsPage()],
		['metrics.md', metricsPage()],
		['scenario.md', scenarioPage()],
	]);
}
