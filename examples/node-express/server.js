// An Express app: Slipway runs what the start script says.
import express from "express";

const app = express();
const release = process.env.SLIPWAY_RELEASE ?? "not deployed";

app.get("/", (request, response) => response.send(`Hello from Express, release ${release}\n`));
app.get("/health", (request, response) => response.json({ status: "ok" }));

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`listening on port ${server.address().port}`);
});

// Answer what is in flight, then end.
process.on("SIGTERM", () => server.close(() => process.exit(0)));
