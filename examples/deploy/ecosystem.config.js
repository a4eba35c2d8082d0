// pm2 start ecosystem.config.js
module.exports = {
  apps: [
    {
      name: "bot",
      cwd: "/opt/bot",
      script: "bot.py",
      interpreter: "/opt/bot/.venv/bin/python",
      exec_mode: "fork",
      // Milliseconds after SIGINT. pm2's own 1600 are too few: GRACEFUL_DEADLINE is 8 s.
      // pm2 默认 1.6 秒就强制结束，要比 GRACEFUL_DEADLINE（默认 8 秒）长。
      kill_timeout: 10000,
      // A bot that ended by itself was told to. 正常退出（如 /graceful stop）不再拉起。
      stop_exit_codes: [0],
    },
  ],
};
