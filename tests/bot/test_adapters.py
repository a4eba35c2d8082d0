"""What an API does, by what its adapter calls it."""

import pytest

from nonebot_plugin_graceful.bot.adapters import sends

SAYS = """
send_msg send_group_msg send_private_msg send_group_forward_msg send_forward_msg
send_message sendFriendMessage send_group_message send_private_message
send_photo send_media_group forward_message copy_message edit_message_text edit_message_media
edit_message_reply_markup answer_callback_query
create_message edit_message create_interaction_response edit_origin_interaction_response
create_followup_message edit_followup_message execute_webhook
message_create message_update directMessage_create directMessage_update
post_messages post_group_messages post_c2c_messages post_dms_messages
edit_msg send_title send_actionbar broadcast upload_private_file upload_group_file
"""
SAYS_NOTHING = """
get_msg get_forward_msg get_message message_list message_get directMessage_view delete_message
bulk_delete_messages recall_group_message message_delete delete_msg
ban_chat_sender_chat send_rcon_command send_like send_profile_like send_group_nudge send_poke
send_chat_action set_message_reaction put_message_reaction send_group_message_reaction
message_addReaction reaction_create pin_chat_message put_pins_message get_message_setting
mark_message_as_read set_group_essence_message create_chat_invite_link create_dm
get_origin_interaction_response delete_origin_interaction_response get_updates set_webhook
post_group_files upload_create upload_file upload_image asset_create create_webhook
"""


@pytest.mark.parametrize("api", SAYS.split())
def test_what_says_something(api):
    """In a new message, or in one that was there."""
    assert sends(api, {})


@pytest.mark.parametrize("api", SAYS_NOTHING.split())
def test_what_does_not(api):
    """It asks, takes away, or does something else to somebody."""
    assert not sends(api, {})


@pytest.mark.parametrize(
    ("api", "method", "says"),
    [
        ("im/v1/messages", "POST", True),
        ("im/v1/messages/om_1/reply", "POST", True),
        ("im/v1/messages/om_1", "PUT", True),
        ("im/v1/messages/om_1", "GET", False),
        ("im/v1/messages/om_1", "DELETE", False),
    ],
)
def test_what_a_path_does_its_method_tells(api, method, says):
    """Feishu has but addresses."""
    assert sends(api, {"method": method}) is says
