// The host on this machine: `pinfut learn` runs the programs, and keeps the progress in a file.

export async function openHost({ token }) {
  const ask = async (path, body, options = {}) => {
    const answer = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: { "x-pinfut-token": token, "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
      ...options,
    }).catch(() => {
      throw new Error("The server does not answer: is `pinfut learn` still running?");
    });
    if (!answer.ok) throw new Error(`The server said ${answer.status}: ${await answer.text()}`);
    return answer.json();
  };
  return {
    open: () => ask("api/lessons"),
    run: (job) => ask("api/run", job),
    save: (name, record) => ask("api/progress", { name, record }, { keepalive: true }),
  };
}
