// Bundles the stub, the core, the widget, its panel and the signals into dist/, prints their sizes and fails where one is over its budget; with
// --quiet only those are printed that are.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { version } = JSON.parse(readFileSync(here('package.json'), 'utf8'));

const bundles = [
  { entry: 'src/snippet.js', out: 'dist/stub.js', budget: 400 },
  { entry: 'src/index.js', out: 'dist/chimein.js', budget: 6 * 1024 },
  { entry: 'src/widget/index.js', out: 'dist/chimein-widget.js', budget: 14 * 1024 },
  { entry: 'src/widget/talk/index.js', out: 'dist/chimein-talk.js', budget: 12 * 1024 },
  { entry: 'src/signals.js', out: 'dist/chimein-signals.js', budget: 1024 },
];

const quiet = process.argv.includes('--quiet');
let over = 0;
const sizes = {};
for (const { entry, out, budget } of bundles) {
  await build({
    entryPoints: [here(entry)],
    outfile: here(out),
    bundle: true,
    minifySyntax: true, // the rest is terser's: names that it gives itself compress better
    format: entry.endsWith('snippet.js') ? undefined : 'iife',
    target: 'es2018',
    charset: 'utf8',
    legalComments: 'none',
    define: { VERSION: JSON.stringify(version) },
    logLevel: 'warning',
  });
  // esbuild bundles; terser, which also folds what is used once, saves another 4 % of the core. What it calls unsafe
  // is here that texts are put together by `+`.
  const { code } = await minify(readFileSync(here(out), 'utf8'), {
    ecma: 2018,
    compress: { passes: 3, ecma: 2018, unsafe_arrows: true, unsafe: true },
    toplevel: false,
  });
  writeFileSync(here(out), code);
  const bytes = Buffer.from(code);
  const gzip = gzipSync(bytes, { level: 9 }).length;
  sizes[out.slice('dist/'.length)] = { minified: bytes.length, gzip, budget };
  if (gzip > budget) over += 1;
  if (quiet && gzip <= budget) continue;
  console.log(`${out.padEnd(24)} ${String(bytes.length).padStart(6)} B  gzip ${String(gzip).padStart(5)} B of ${budget} B`);
}
// The panel's words, a file for each language that is not in the bundle.
const languages = here('src/widget/talk/languages/');
for (const file of readdirSync(languages).filter((name) => name !== 'en.json')) {
  const words = JSON.parse(readFileSync(languages + file, 'utf8'));
  writeFileSync(here(`dist/chimein-words-${file}`), JSON.stringify(words));
}
writeFileSync(here('dist/sizes.json'), `${JSON.stringify(sizes, null, 2)}\n`);
if (over) {
  console.error(`${over} bundle(s) over the budget.`);
  process.exitCode = 1;
}
