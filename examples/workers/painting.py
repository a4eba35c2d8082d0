"""What the workers do: ``python -m nonebot_plugin_graceful worker painting``, where this file is.

It knows nothing of a chat, and of NoneBot only its settings. The bot imports it by the same name.
"""

from nonebot import get_plugin_config
from pydantic import BaseModel

from nonebot_plugin_graceful import http_client, on_worker


class Config(BaseModel):
    """The settings, for ``.env`` or the environment."""

    ai_base_url: str = "https://api.openai.com/v1"
    ai_api_key: str = "none"
    ai_image_model: str = "gpt-image-1"


@on_worker("image")
async def paint(prompt: str) -> str:
    """Return a picture as base64. Here a service paints it; it may as well be this machine's GPU."""
    config = get_plugin_config(Config)
    async with http_client(kind="image", timeout=180) as client:
        response = await client.post(
            f"{config.ai_base_url}/images/generations",
            headers={"Authorization": f"Bearer {config.ai_api_key}"},
            json={"model": config.ai_image_model, "prompt": prompt},
        )
        response.raise_for_status()
        return response.json()["data"][0]["b64_json"]
