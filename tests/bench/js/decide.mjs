// json-rules-engine on the rules and facts of the benchmark; prints {"matches": n, "seconds": s} for the facts given.
import { readFileSync } from "node:fs";
import { Engine } from "json-rules-engine";

const { rules, facts, missing } = JSON.parse(readFileSync(process.argv[2], "utf8"));

const OPERATORS = {
  eq: "equal",
  in: "in",
  gte: "greaterThanInclusive",
  lte: "lessThanInclusive",
  starts_with: "startsWith",
  contains: "includes",
  between: "between",
};

const condition = (asked) => {
  if (asked.all) return { all: asked.all.map(condition) };
  if (asked.any) return { any: asked.any.map(condition) };
  if (asked.not) return { not: condition(asked.not) };
  return { fact: asked.fact, operator: OPERATORS[asked.op], value: asked.value };
};

const engine = new Engine([], { allowUndefinedFacts: true });
engine.addOperator("startsWith", (fact, text) => typeof fact === "string" && fact.startsWith(text));
engine.addOperator("includes", (fact, text) => typeof fact === "string" && fact.includes(text));
engine.addOperator("between", (fact, [low, high]) => typeof fact === "number" && fact >= low && fact <= high);
rules.forEach((rule, number) => {
  const whole = condition(rule);
  engine.addRule({ conditions: whole.all ? whole : { all: [whole] }, event: { type: `rule-${number}` } });
});

const started = process.hrtime.bigint();
let matches = 0;
for (const known of facts) {
  const { events } = await engine.run({ ...missing, ...known });
  matches += events.length;
}
const seconds = Number(process.hrtime.bigint() - started) / 1e9;
console.log(JSON.stringify({ matches, seconds }));
