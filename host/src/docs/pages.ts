// Owns the list of generated reference pages.
import { cliPage } from './cli-page.js';
import { configPage } from './config-page.js';
import { errorsPage } from './errors-page.js';
import { libraryPage } from './library-page.js';
import { metricsPage } from './metrics-page.js';
import { scenarioPage } from './scenario-page.js';

/** Path in the repository → its text. */
export async function referencePages(): Promise<ReadonlyMap<string, string>> {
	return new Map([
		['docs/cli.md', await cliPage()],
		['docs/config.md', configPage()],
		['docs/errors.md', errorsPage()],
		['docs/metrics.md', metricsPage()],
		['docs/scenario.md', scenarioPage()],
		['plugins/README.md', libraryPage()],
	]);
}
