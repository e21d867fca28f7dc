BEGIN TRANSACTION;
CREATE TABLE accounts (
	account INTEGER NOT NULL, 
	participant_id INTEGER, 
	agent BLOB NOT NULL, 
	meter BLOB NOT NULL, 
	epoch INTEGER NOT NULL, 
	zone INTEGER NOT NULL, 
	node VARCHAR NOT NULL, 
	capacity_milli_wh BIGINT NOT NULL, 
	member_of INTEGER NOT NULL, 
	sources INTEGER NOT NULL, 
	CONSTRAINT pk_accounts PRIMARY KEY (account), 
	CONSTRAINT fk_accounts_participant_id_participants FOREIGN KEY(participant_id) REFERENCES participants (id)
);
INSERT INTO "accounts" VALUES(2,1,X'0000000000000000000000000000000000000000',X'0000000000000000000000000000000000000000',1,0,'street',1000,0,0);
CREATE TABLE alerts (
	interval INTEGER NOT NULL, 
	device INTEGER NOT NULL, 
	cause VARCHAR NOT NULL, 
	CONSTRAINT pk_alerts PRIMARY KEY (interval, device, cause), 
	CONSTRAINT fk_alerts_device_devices FOREIGN KEY(device) REFERENCES devices (id)
);
CREATE TABLE blocks (
	number BIGINT NOT NULL, 
	hash BLOB NOT NULL, 
	parent BLOB NOT NULL, 
	timestamp_s BIGINT NOT NULL, 
	CONSTRAINT pk_blocks PRIMARY KEY (number), 
	CONSTRAINT uq_blocks_hash UNIQUE (hash)
);
CREATE TABLE carriers (
	outbox_id INTEGER NOT NULL, 
	hash BLOB NOT NULL, 
	CONSTRAINT pk_carriers PRIMARY KEY (outbox_id), 
	CONSTRAINT fk_carriers_outbox_id_outbox FOREIGN KEY(outbox_id) REFERENCES outbox (id)
);
CREATE TABLE chain_accounts (
	account BIGINT NOT NULL, 
	block_number BIGINT NOT NULL, 
	owner BLOB, 
	balance_pico VARCHAR(41) NOT NULL, 
	owed_pico VARCHAR(41) NOT NULL, 
	lanes BIGINT NOT NULL, 
	filled INTEGER NOT NULL, 
	read INTEGER NOT NULL, 
	position_milli_wh BIGINT NOT NULL, 
	register_milli_wh BIGINT NOT NULL, 
	parked_milli_wh TEXT NOT NULL, 
	exit_amount_pico VARCHAR(41) NOT NULL, 
	exit_ready_s BIGINT NOT NULL, 
	exit_last INTEGER NOT NULL, 
	zone INTEGER NOT NULL, 
	capacity_milli_wh BIGINT NOT NULL, 
	epoch INTEGER NOT NULL, 
	epoch_since INTEGER NOT NULL, 
	is_metered BOOLEAN NOT NULL, 
	curtailed_milli_wh TEXT NOT NULL, 
	curtailed_newest INTEGER NOT NULL, 
	next_meter_first INTEGER NOT NULL, 
	next_meter_offset_milli_wh BIGINT NOT NULL, 
	CONSTRAINT pk_chain_accounts PRIMARY KEY (account)
);
CREATE TABLE chain_events (
	block_hash BLOB NOT NULL, 
	log_index INTEGER NOT NULL, 
	block_number BIGINT NOT NULL, 
	transaction_hash BLOB NOT NULL, 
	contract BLOB NOT NULL, 
	name VARCHAR(32) NOT NULL, 
	account BIGINT, 
	arguments TEXT NOT NULL, 
	CONSTRAINT pk_chain_events PRIMARY KEY (block_hash, log_index), 
	CONSTRAINT fk_chain_events_block_hash_blocks FOREIGN KEY(block_hash) REFERENCES blocks (hash)
);
CREATE TABLE chain_state (
	id INTEGER NOT NULL, 
	block_number BIGINT NOT NULL, 
	block_hash BLOB NOT NULL, 
	next_sequence BIGINT NOT NULL, 
	interval INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	prices TEXT, 
	carries TEXT NOT NULL, 
	CONSTRAINT pk_chain_state PRIMARY KEY (id)
);
CREATE TABLE chain_tariffs (
	interval INTEGER NOT NULL, 
	block_number BIGINT NOT NULL, 
	tariffs TEXT NOT NULL, 
	CONSTRAINT pk_chain_tariffs PRIMARY KEY (interval)
);
CREATE TABLE chain_undo (
	block_number BIGINT NOT NULL, 
	content TEXT NOT NULL, 
	CONSTRAINT pk_chain_undo PRIMARY KEY (block_number)
);
CREATE TABLE checkpoints (
	name VARCHAR NOT NULL, 
	interval INTEGER NOT NULL, 
	content BLOB NOT NULL, 
	CONSTRAINT pk_checkpoints PRIMARY KEY (name)
);
CREATE TABLE chunks (
	sequence BIGINT NOT NULL, 
	interval INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	n_fills INTEGER NOT NULL, 
	n_readings INTEGER NOT NULL, 
	outbox_id BIGINT NOT NULL, 
	CONSTRAINT pk_chunks PRIMARY KEY (sequence)
);
CREATE TABLE curtailments (
	interval INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	quantity_milli_wh BIGINT NOT NULL, 
	reason VARCHAR NOT NULL, 
	signature BLOB NOT NULL, 
	CONSTRAINT pk_curtailments PRIMARY KEY (interval, account)
);
CREATE TABLE debts (
	interval INTEGER NOT NULL, 
	borrower INTEGER NOT NULL, 
	lender INTEGER NOT NULL, 
	lent_wh FLOAT NOT NULL, 
	returned_wh FLOAT NOT NULL, 
	owed_wh FLOAT NOT NULL, 
	CONSTRAINT pk_debts PRIMARY KEY (interval, borrower, lender)
);
CREATE TABLE device_intervals (
	interval INTEGER NOT NULL, 
	device INTEGER NOT NULL, 
	terminal_wh FLOAT NOT NULL, 
	source_wh FLOAT NOT NULL, 
	sink_wh FLOAT NOT NULL, 
	stored_delta_wh FLOAT NOT NULL, 
	loss_wh FLOAT NOT NULL, 
	curtailed_wh FLOAT NOT NULL, 
	unserved_wh FLOAT NOT NULL, 
	energy_wh FLOAT NOT NULL, 
	CONSTRAINT pk_device_intervals PRIMARY KEY (interval, device), 
	CONSTRAINT fk_device_intervals_device_devices FOREIGN KEY(device) REFERENCES devices (id)
)
 WITHOUT ROWID

;
CREATE TABLE devices (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	account INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	node VARCHAR NOT NULL, 
	parameters VARCHAR NOT NULL, 
	CONSTRAINT pk_devices PRIMARY KEY (id), 
	CONSTRAINT uq_devices_name UNIQUE (name)
);
CREATE TABLE fee_bids (
	outbox_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	raw BLOB NOT NULL, 
	hash BLOB NOT NULL, 
	max_fee_per_gas VARCHAR(41) NOT NULL, 
	max_priority_fee_per_gas VARCHAR(41) NOT NULL, 
	made_at_block BIGINT NOT NULL, 
	CONSTRAINT pk_fee_bids PRIMARY KEY (outbox_id, number), 
	CONSTRAINT fk_fee_bids_outbox_id_outbox FOREIGN KEY(outbox_id) REFERENCES outbox (id), 
	CONSTRAINT uq_fee_bids_hash UNIQUE (hash)
);
CREATE TABLE fills (
	interval INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	sequence BIGINT NOT NULL, 
	account INTEGER NOT NULL, 
	is_buy BOOLEAN NOT NULL, 
	lane INTEGER NOT NULL, 
	quantity_milli_wh BIGINT NOT NULL, 
	price_micro_per_kwh BIGINT NOT NULL, 
	amount_pico VARCHAR(41) NOT NULL, 
	CONSTRAINT pk_fills PRIMARY KEY (interval, round, sequence), 
	CONSTRAINT fk_fills_sequence_orders FOREIGN KEY(sequence) REFERENCES orders (sequence)
)
 WITHOUT ROWID

;
CREATE TABLE flex_events (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	chain_id INTEGER, 
	first INTEGER NOT NULL, 
	last INTEGER NOT NULL, 
	requested_w BIGINT NOT NULL, 
	revenue_pico VARCHAR(41) NOT NULL, 
	root BLOB NOT NULL, 
	state VARCHAR NOT NULL, 
	split VARCHAR NOT NULL, 
	score_ppm INTEGER, 
	CONSTRAINT pk_flex_events PRIMARY KEY (id), 
	CONSTRAINT uq_flex_events_name UNIQUE (name)
);
CREATE TABLE flex_members (
	event_id INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	baseline_milli_wh BIGINT NOT NULL, 
	reserved_milli_wh BIGINT, 
	contribution_milli_wh BIGINT, 
	due_pico VARCHAR(41), 
	paid_pico VARCHAR(41), 
	CONSTRAINT pk_flex_members PRIMARY KEY (event_id, account), 
	CONSTRAINT fk_flex_members_event_id_flex_events FOREIGN KEY(event_id) REFERENCES flex_events (id)
);
CREATE TABLE frequency_intervals (
	interval INTEGER NOT NULL, 
	service VARCHAR NOT NULL, 
	asked_milli_wh BIGINT NOT NULL, 
	reserve_violations INTEGER NOT NULL, 
	CONSTRAINT pk_frequency_intervals PRIMARY KEY (interval)
);
CREATE TABLE frequency_members (
	interval INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	delivered_milli_wh BIGINT NOT NULL, 
	CONSTRAINT pk_frequency_members PRIMARY KEY (interval, account)
);
CREATE TABLE frequency_steps (
	interval INTEGER NOT NULL, 
	at_ms INTEGER NOT NULL, 
	length_ms INTEGER NOT NULL, 
	deviation_hz FLOAT NOT NULL, 
	asked_w FLOAT NOT NULL, 
	given_w FLOAT NOT NULL, 
	is_incident BOOLEAN NOT NULL, 
	mode VARCHAR NOT NULL, 
	gain_pu FLOAT NOT NULL, 
	CONSTRAINT pk_frequency_steps PRIMARY KEY (interval, at_ms)
);
CREATE TABLE groups (
	number INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	CONSTRAINT pk_groups PRIMARY KEY (number), 
	CONSTRAINT uq_groups_name UNIQUE (name)
);
CREATE TABLE imbalances (
	interval INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	position_milli_wh BIGINT NOT NULL, 
	metered_milli_wh BIGINT NOT NULL, 
	imbalance_milli_wh BIGINT NOT NULL, 
	amount_pico VARCHAR(41) NOT NULL, 
	settled_in INTEGER NOT NULL, 
	CONSTRAINT pk_imbalances PRIMARY KEY (interval, account)
)
 WITHOUT ROWID

;
CREATE TABLE incidents (
	interval INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	at_s FLOAT NOT NULL, 
	kind VARCHAR NOT NULL, 
	subject VARCHAR NOT NULL, 
	CONSTRAINT pk_incidents PRIMARY KEY (interval, number)
);
CREATE TABLE island_intervals (
	interval INTEGER NOT NULL, 
	node VARCHAR NOT NULL, 
	phase VARCHAR NOT NULL, 
	leader INTEGER, 
	term BIGINT NOT NULL, 
	cut_s FLOAT NOT NULL, 
	usable_wh FLOAT NOT NULL, 
	CONSTRAINT pk_island_intervals PRIMARY KEY (interval, node)
);
CREATE TABLE island_samples (
	id INTEGER NOT NULL, 
	interval INTEGER NOT NULL, 
	node VARCHAR NOT NULL, 
	at_s FLOAT NOT NULL, 
	phase VARCHAR NOT NULL, 
	f_min_hz FLOAT NOT NULL, 
	f_max_hz FLOAT NOT NULL, 
	v_min_pu FLOAT NOT NULL, 
	v_max_pu FLOAT NOT NULL, 
	load_w FLOAT NOT NULL, 
	usable_wh FLOAT NOT NULL, 
	CONSTRAINT pk_island_samples PRIMARY KEY (id)
);
CREATE TABLE island_services (
	interval INTEGER NOT NULL, 
	node VARCHAR NOT NULL, 
	priority VARCHAR NOT NULL, 
	wanted_wh FLOAT NOT NULL, 
	served_wh FLOAT NOT NULL, 
	CONSTRAINT pk_island_services PRIMARY KEY (interval, node, priority)
);
CREATE TABLE loans (
	interval INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	lent_wh FLOAT NOT NULL, 
	borrowed_wh FLOAT NOT NULL, 
	CONSTRAINT pk_loans PRIMARY KEY (interval, account)
);
CREATE TABLE meta (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	CONSTRAINT pk_meta PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('name','old');
INSERT INTO "meta" VALUES('seed','1');
CREATE TABLE node_intervals (
	interval INTEGER NOT NULL, 
	node VARCHAR NOT NULL, 
	peak_import_w FLOAT NOT NULL, 
	peak_export_w FLOAT NOT NULL, 
	is_import_binding BOOLEAN NOT NULL, 
	is_export_binding BOOLEAN NOT NULL, 
	CONSTRAINT pk_node_intervals PRIMARY KEY (interval, node), 
	CONSTRAINT fk_node_intervals_node_nodes FOREIGN KEY(node) REFERENCES nodes (name)
)
 WITHOUT ROWID

;
CREATE TABLE nodes (
	name VARCHAR NOT NULL, 
	parent VARCHAR, 
	import_cap_w FLOAT NOT NULL, 
	export_cap_w FLOAT NOT NULL, 
	CONSTRAINT pk_nodes PRIMARY KEY (name)
);
CREATE TABLE nonces (
	sender BLOB NOT NULL, 
	next BIGINT NOT NULL, 
	CONSTRAINT pk_nonces PRIMARY KEY (sender)
);
CREATE TABLE order_refusals (
	id INTEGER NOT NULL, 
	at_s BIGINT NOT NULL, 
	account BIGINT NOT NULL, 
	hash BLOB NOT NULL, 
	reason VARCHAR NOT NULL, 
	detail VARCHAR NOT NULL, 
	CONSTRAINT pk_order_refusals PRIMARY KEY (id)
);
CREATE TABLE orders (
	sequence BIGINT NOT NULL, 
	hash BLOB NOT NULL, 
	account INTEGER NOT NULL, 
	epoch INTEGER NOT NULL, 
	is_buy BOOLEAN NOT NULL, 
	lane INTEGER NOT NULL, 
	first INTEGER NOT NULL, 
	last INTEGER NOT NULL, 
	quantity_milli_wh BIGINT NOT NULL, 
	limit_micro_per_kwh BIGINT NOT NULL, 
	source INTEGER NOT NULL, 
	partner INTEGER NOT NULL, 
	"group" INTEGER NOT NULL, 
	signature BLOB NOT NULL, 
	received_at_s BIGINT NOT NULL, 
	receipt BLOB NOT NULL, 
	CONSTRAINT pk_orders PRIMARY KEY (sequence), 
	CONSTRAINT uq_orders_hash UNIQUE (hash)
);
CREATE TABLE outbox (
	id INTEGER NOT NULL, 
	kind VARCHAR(32) NOT NULL, 
	ref VARCHAR(64) NOT NULL, 
	signer VARCHAR(32) NOT NULL, 
	"to" BLOB, 
	data BLOB, 
	gas BIGINT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	sender BLOB, 
	nonce BIGINT, 
	raw BLOB, 
	hash BLOB, 
	block_number BIGINT, 
	block_hash BLOB, 
	gas_used BIGINT, 
	reason TEXT, 
	CONSTRAINT pk_outbox PRIMARY KEY (id), 
	CONSTRAINT uq_outbox_kind_ref UNIQUE (kind, ref), 
	CONSTRAINT uq_outbox_sender_nonce UNIQUE (sender, nonce), 
	CONSTRAINT ck_outbox_bytes CHECK (CASE WHEN state = 'planned' THEN data IS NOT NULL ELSE nonce IS NOT NULL AND raw IS NOT NULL END), 
	CONSTRAINT uq_outbox_hash UNIQUE (hash)
);
CREATE TABLE overloads (
	interval INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	at_s FLOAT NOT NULL, 
	first_s FLOAT, 
	predicted_w FLOAT, 
	load_w FLOAT NOT NULL, 
	limit_w FLOAT NOT NULL, 
	CONSTRAINT pk_overloads PRIMARY KEY (interval, account, at_s)
);
CREATE TABLE participants (
	id INTEGER NOT NULL, 
	name VARCHAR NOT NULL, 
	kind VARCHAR NOT NULL, 
	owner BLOB NOT NULL, 
	CONSTRAINT pk_participants PRIMARY KEY (id), 
	CONSTRAINT uq_participants_name UNIQUE (name)
);
INSERT INTO "participants" VALUES(1,'Ann','home',X'000102030405060708090A0B0C0D0E0F10111213');
CREATE TABLE prices (
	interval INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	zone INTEGER NOT NULL, 
	price_micro_per_kwh BIGINT, 
	low_micro_per_kwh BIGINT, 
	high_micro_per_kwh BIGINT, 
	CONSTRAINT pk_prices PRIMARY KEY (interval, round, zone)
);
CREATE TABLE readings (
	interval INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	register_milli_wh BIGINT NOT NULL, 
	is_substitute BOOLEAN NOT NULL, 
	signature BLOB NOT NULL, 
	received_at_s BIGINT NOT NULL, 
	settled_in INTEGER, 
	CONSTRAINT pk_readings PRIMARY KEY (interval, account)
)
 WITHOUT ROWID

;
INSERT INTO "readings" VALUES(7,2,-5,0,X'00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000',9,7);
CREATE TABLE reference_intervals (
	interval INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	net_export_milli_wh BIGINT NOT NULL, 
	stored_wh FLOAT NOT NULL, 
	CONSTRAINT pk_reference_intervals PRIMARY KEY (interval, account)
)
 WITHOUT ROWID

;
CREATE TABLE rounds (
	interval INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	cleared_at_s BIGINT NOT NULL, 
	n_orders INTEGER NOT NULL, 
	volume_milli_wh BIGINT NOT NULL, 
	next_sequence BIGINT NOT NULL, 
	book_root BLOB NOT NULL, 
	cut_zones BIGINT NOT NULL, 
	CONSTRAINT pk_rounds PRIMARY KEY (interval, round)
);
CREATE TABLE setpoints (
	id INTEGER NOT NULL, 
	device INTEGER NOT NULL, 
	interval INTEGER NOT NULL, 
	at_s FLOAT NOT NULL, 
	sequence BIGINT NOT NULL, 
	p_w FLOAT NOT NULL, 
	expires_s FLOAT NOT NULL, 
	reason VARCHAR NOT NULL, 
	CONSTRAINT pk_setpoints PRIMARY KEY (id), 
	CONSTRAINT fk_setpoints_device_devices FOREIGN KEY(device) REFERENCES devices (id)
);
CREATE TABLE substitutes (
	interval INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	reason VARCHAR NOT NULL, 
	expected_import_milli_wh BIGINT NOT NULL, 
	told_register_milli_wh BIGINT, 
	CONSTRAINT pk_substitutes PRIMARY KEY (interval, account)
);
CREATE TABLE tap_changes (
	interval INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	at_s FLOAT NOT NULL, 
	"before" INTEGER NOT NULL, 
	"after" INTEGER NOT NULL, 
	reason VARCHAR NOT NULL, 
	CONSTRAINT pk_tap_changes PRIMARY KEY (interval, number)
);
CREATE TABLE tariffs (
	interval INTEGER NOT NULL, 
	zone INTEGER NOT NULL, 
	short_micro_per_kwh BIGINT NOT NULL, 
	long_micro_per_kwh BIGINT NOT NULL, 
	is_island BOOLEAN NOT NULL, 
	CONSTRAINT pk_tariffs PRIMARY KEY (interval, zone)
);
CREATE TABLE timeslots (
	first INTEGER NOT NULL, 
	last INTEGER NOT NULL, 
	announced_at_s BIGINT NOT NULL, 
	gate_s BIGINT NOT NULL, 
	price_spread_pu FLOAT NOT NULL, 
	demand_spread_pu FLOAT NOT NULL, 
	CONSTRAINT pk_timeslots PRIMARY KEY (first)
);
CREATE TABLE trades (
	interval INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	buyer INTEGER NOT NULL, 
	seller INTEGER NOT NULL, 
	quantity_milli_wh BIGINT NOT NULL, 
	price_micro_per_kwh BIGINT NOT NULL, 
	met_at INTEGER NOT NULL, 
	met INTEGER NOT NULL, 
	source INTEGER NOT NULL, 
	CONSTRAINT pk_trades PRIMARY KEY (interval, round, number)
)
 WITHOUT ROWID

;
CREATE TABLE transfers (
	interval INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	kind VARCHAR NOT NULL, 
	source INTEGER NOT NULL, 
	target INTEGER NOT NULL, 
	start_s FLOAT NOT NULL, 
	end_s FLOAT NOT NULL, 
	given_wh FLOAT NOT NULL, 
	arrived_wh FLOAT NOT NULL, 
	expected_w FLOAT, 
	for_s FLOAT, 
	CONSTRAINT pk_transfers PRIMARY KEY (interval, number)
);
CREATE TABLE voltage_accounts (
	interval INTEGER NOT NULL, 
	account INTEGER NOT NULL, 
	net_export_milli_wh BIGINT NOT NULL, 
	amount_pico VARCHAR(41) NOT NULL, 
	CONSTRAINT pk_voltage_accounts PRIMARY KEY (interval, account)
);
CREATE TABLE voltage_intervals (
	interval INTEGER NOT NULL, 
	is_twin BOOLEAN NOT NULL, 
	position INTEGER NOT NULL, 
	switchings INTEGER NOT NULL, 
	low_pu FLOAT NOT NULL, 
	high_pu FLOAT NOT NULL, 
	outside_s FLOAT NOT NULL, 
	source_wh FLOAT NOT NULL, 
	loss_wh FLOAT NOT NULL, 
	load_wh FLOAT NOT NULL, 
	solar_wh FLOAT NOT NULL, 
	curtailed_wh FLOAT NOT NULL, 
	stored_wh FLOAT NOT NULL, 
	deferred_wh FLOAT NOT NULL, 
	options VARCHAR NOT NULL, 
	CONSTRAINT pk_voltage_intervals PRIMARY KEY (interval, is_twin)
);
CREATE TABLE voltage_nodes (
	interval INTEGER NOT NULL, 
	node VARCHAR NOT NULL, 
	is_twin BOOLEAN NOT NULL, 
	low_pu FLOAT NOT NULL, 
	high_pu FLOAT NOT NULL, 
	CONSTRAINT pk_voltage_nodes PRIMARY KEY (interval, node, is_twin)
);
CREATE TABLE zones (
	zone INTEGER NOT NULL, 
	node VARCHAR NOT NULL, 
	parent INTEGER NOT NULL, 
	import_cap_milli_wh BIGINT NOT NULL, 
	export_cap_milli_wh BIGINT NOT NULL, 
	fee_micro_per_kwh BIGINT NOT NULL, 
	CONSTRAINT pk_zones PRIMARY KEY (zone)
);
CREATE INDEX orders_by_account ON orders (account, first);
CREATE INDEX orders_by_last ON orders (last);
CREATE INDEX trades_by_seller ON trades (seller);
CREATE INDEX trades_by_buyer ON trades (buyer);
CREATE INDEX readings_by_account ON readings (account, interval);
CREATE INDEX ix_readings_settled_in ON readings (settled_in);
CREATE INDEX ix_imbalances_settled_in ON imbalances (settled_in);
CREATE INDEX ix_chunks_interval ON chunks (interval);
CREATE INDEX outbox_by_state ON outbox (state, id);
CREATE INDEX island_samples_by_node ON island_samples (node, interval);
CREATE INDEX fills_by_account ON fills (account, interval);
CREATE INDEX chain_events_by_account ON chain_events (account, block_number);
CREATE INDEX chain_events_by_block ON chain_events (block_number, log_index);
CREATE INDEX device_intervals_by_device ON device_intervals (device, interval);
CREATE INDEX setpoints_by_device ON setpoints (device, id);
CREATE INDEX setpoints_by_interval ON setpoints (interval);
COMMIT;
