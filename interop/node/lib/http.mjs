/** Serves an express application on a free port of loopback. */
export async function listen(app) {
  const server = await new Promise((resolve, reject) => {
    const started = app.listen(0, "127.0.0.1", (error) =>
      error ? reject(error) : resolve(started),
    );
  });
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
