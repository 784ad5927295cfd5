// One line for each case, and a count at the end.

const CASE_MS = 60_000;

export class Report {
  passed = 0;
  failed = 0;

  /** Runs a case; says whether it passed. */
  async test(name, body, limit = CASE_MS) {
    const started = performance.now();
    try {
      await within(limit, body());
      this.passed += 1;
      console.log(`ok    ${name} (${Math.round(performance.now() - started)} ms)`);
      return true;
    } catch (error) {
      this.failed += 1;
      console.log(`FAIL  ${name}\n${indented(error)}`);
      return false;
    }
  }

  /** Runs cases that stand on one ground; a ground that cannot be laid is a failed case. */
  async group(name, body) {
    console.log(`\n${name}`);
    try {
      await body(this);
    } catch (error) {
      this.failed += 1;
      console.log(`FAIL  ${name}\n${indented(error)}`);
    }
  }

  /** Prints the count and returns the exit code. */
  finish() {
    console.log(`\n${this.passed} passed, ${this.failed} failed`);
    return this.failed === 0 && this.passed > 0 ? 0 : 1;
  }
}

function within(ms, work) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${ms / 1000} s`)), ms);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

function indented(error) {
  return (error?.stack ?? String(error)).replace(/^/gm, "        ");
}
